// What the server is asked: the one file that sends anything. The window gets a "reached" event for every request that
// was answered (detail: true) or was not.

const BROKEN_OFF = "The server broke off in the middle of its answer. Is vip still running?";

/** Its model and whether it is well. */
export async function health() {
  return (await answered("/health")).json();
}

/** The picture with its markers drawn, as a PNG; or the square that the model gets. */
export async function marked(image, markers, { asModelSeesIt = false } = {}) {
  const body = { image, markers, tags: false, as_model_sees_it: asModelSeesIt };
  return (await answered("/v1/mark", posted(body))).blob();
}

/** Ask, and yield what comes: {text}, and in the end {finish, warnings, markers}. */
export async function* ask(model, messages, signal) {
  const body = { model, messages, stream: true };
  const response = await answered("/v1/chat/completions", { ...posted(body), signal });
  for await (const data of events(response.body)) {
    if (data === "[DONE]") return;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new Error(chunk.error.message);
    const [choice] = chunk.choices ?? [];
    if (choice?.delta?.content) yield { text: choice.delta.content };
    if (choice?.finish_reason) yield { finish: choice.finish_reason };
    if (chunk.vip) yield { warnings: chunk.vip.warnings ?? [], markers: chunk.vip.markers ?? [] };
  }
  throw new Error(BROKEN_OFF);
}

/** What is to be picked on, and who it is for. */
export async function toPick() {
  const about = await (await answered("/v1/picking")).json();
  const blob = await (await answered("/v1/picking/picture")).blob();
  return { ...about, blob };
}

/** Hand the picked markers over. */
export async function picked(markers) {
  await answered("/v1/picked", posted({ markers }));
}

function posted(body) {
  return { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

async function answered(address, options) {
  let response;
  try {
    response = await fetch(address, options);
    reached(true);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    reached(false);
    throw new Error("The server doesn't answer. Is vip still running?");
  }
  if (response.ok) return response;
  let message;
  try {
    message = (await response.json()).error.message;
  } catch {
    message = `The server refused with ${response.status} ${response.statusText}.`;
  }
  throw new Error(message);
}

function reached(detail) {
  dispatchEvent(new CustomEvent("reached", { detail }));
}

/** The data of server-sent events, one at a time. */
async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { value, done } = await reader.read().catch((error) => {
        throw error.name === "AbortError" ? error : new Error(BROKEN_OFF);
      });
      if (done) return;
      text += value;
      const blocks = text.split(/\r?\n\r?\n/);
      text = blocks.pop();
      for (const block of blocks) {
        const lines = block.split(/\r?\n/).filter((line) => line.startsWith("data:"));
        if (lines.length) yield lines.map((line) => line.slice(5).replace(/^ /, "")).join("\n");
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
