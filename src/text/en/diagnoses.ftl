### diagnoses
