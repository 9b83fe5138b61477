"""What a run's figures mean: verdict, late ranks, findings, and how good the evidence is."""
