# LB is the address of the service, as in http://127.0.0.1:8080
curl -sS --fail-with-body "$LB/api/v1/run" --json '{
  "image": "busybox",
  "args": ["echo", "hello"],
  "files": { "notes.txt": "to be read by the command\n" }
}'
