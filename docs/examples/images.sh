curl -sS --fail-with-body --compressed "$LB/api/v1/images"
