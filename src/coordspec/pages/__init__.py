"""What all pages of HTML share: frame and policy, style, script, boxes, and images that are small enough."""
