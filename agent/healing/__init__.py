"""A release on trial: from its switch until it is known to work here, or the generation before it is back."""
