### outcomes
