const LB: string = process.env.LB ?? "http://127.0.0.1:8080";

const answer = await fetch(`${LB}/api/v1/run`, {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ image: "busybox", args: ["echo", "hello"] }),
});
const digest: string | null = answer.headers.get("pe-job");

// Whoever has the digest needs no run.
const known = await fetch(`${LB}/api/v1/results/${digest}`);
if (known.status === 404) console.log("not known, or not any more");
else console.log(((await known.json()) as { stdout: unknown }).stdout);
