# The page of it is at $LB/s/ and the name that comes back.
curl -sS --fail-with-body "$LB/api/v1/shares" --json '{
  "v": 1,
  "image": "busybox",
  "command": ["echo", "hello"],
  "files": { "notes.txt": "to be read by the command\n" }
}'
