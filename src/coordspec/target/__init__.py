"""What a rollout is completed to, and what of it is supervised."""
