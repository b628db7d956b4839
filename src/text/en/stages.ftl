### stages
