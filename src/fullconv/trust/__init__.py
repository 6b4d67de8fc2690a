"""What makes a map worth believing: the check of every cast, map against crops, each layer's share, and the clock."""
