const LB: string = process.env.LB ?? "http://127.0.0.1:8080";

interface Image {
  name: string;
  tags: string[];
  title: string;
}

const answer = await fetch(`${LB}/api/v1/images`);
const { images } = (await answer.json()) as { images: Image[] };
for (const { name, tags, title } of images) console.log(name, tags.join(", "), title);
