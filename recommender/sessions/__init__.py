"""What the events of a day weigh, learnt by replaying days."""
