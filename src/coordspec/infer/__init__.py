"""What a trained checkpoint says about records: prediction files, the evaluation checklist, contact sheets."""
