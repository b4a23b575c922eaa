const LB: string = process.env.LB ?? "http://127.0.0.1:8080";

const answer = await fetch(`${LB}/api/v1/shares`, {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({
    v: 1,
    image: "busybox",
    command: ["echo", "hello"],
    files: { "notes.txt": "to be read by the command\n" },
  }),
});
const { share } = (await answer.json()) as { share: string };
console.log(`${LB}/s/${share}`);
