"""What the control zone serves over HTTP."""
