"""How good it is: metrics, the table of the backtest, the gate."""
