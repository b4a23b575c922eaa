const LB: string = process.env.LB ?? "http://127.0.0.1:8080";

interface Result {
  outcome: { kind: string; code?: number };
  stdout: string | { base64: string };
}

const answer = await fetch(`${LB}/api/v1/run`, {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({
    image: "busybox",
    args: ["echo", "hello"],
    files: { "notes.txt": "to be read by the command\n" },
  }),
});
if (!answer.ok) throw new Error(((await answer.json()) as { detail: string }).detail);
const result = (await answer.json()) as Result;
console.log(result.outcome, result.stdout);
