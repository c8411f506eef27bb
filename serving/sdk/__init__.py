"""What others need to talk to the service. Nothing here imports the rest of huaxiang."""
