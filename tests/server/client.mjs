// The openai package of npm: prints one line of JSON for what a server answers. Arguments: URL, model.
import OpenAI from "openai";

const [baseURL, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const messages = [{ role: "user", content: "What is the capital of France?" }];
const asked = { model, messages, temperature: 0, max_tokens: 12 };

const text = (await client.chat.completions.create(asked)).choices[0].message.content;
let streamed = "";
for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
  streamed += chunk.choices[0]?.delta?.content ?? "";
}
const schema = {
  type: "object",
  properties: { capital: { type: "boolean" } },
  required: ["capital"],
  additionalProperties: false,
};
const typed = await client.chat.completions.create({
  ...asked,
  max_tokens: 60,
  response_format: { type: "json_schema", json_schema: { name: "city", strict: true, schema } },
});
const tool = { type: "function", function: { name: "look", parameters: schema } };
const called = await client.chat.completions.create({
  ...asked,
  max_tokens: 60,
  tools: [tool],
  tool_choice: { type: "function", function: { name: "look" } },
});
const vectors = await client.embeddings.create({ model, input: ["one", "two"] });
const models = [];
for await (const found of client.models.list()) models.push(found.id);
console.log(
  JSON.stringify({
    text,
    streamed,
    typed: JSON.parse(typed.choices[0].message.content),
    call: called.choices[0].message.tool_calls[0].function,
    sizes: vectors.data.map((item) => item.embedding.length),
    models,
  }),
);
