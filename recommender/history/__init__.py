"""What a night learns from: the app's history as arrays, and how it is cut into past and future."""
