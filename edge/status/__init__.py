"""What the appliance says about itself. No pixels leave by this door."""
