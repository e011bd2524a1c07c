"""What the appliance says about itself. No pixels leave by this door, except anonymized ones that the
store has on disk, and only where ``status.preview`` is set."""
