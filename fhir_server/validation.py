def structural_issues(resource):
    return []
