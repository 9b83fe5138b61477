// Runs perfetto's trace_processor, as its web page carries it, outside a browser: requests in, replies out.
const fs = require("fs"), path = require("path");
const [folder, input, output] = process.argv.slice(2);
class FileRequest {
  open(method, url) { this.url = url; }
  send() { this.response = fs.readFileSync(path.join(folder, path.basename(this.url))); }
}
const worker = {location: {href: "file:///worker.js"}};
const replies = [];
const port = {postMessage(bytes) { replies.push(Buffer.from(bytes)); }};
// The bundle is a web worker's script; what it must not see of node is left undefined.
const names = ["self", "WorkerGlobalScope", "XMLHttpRequest", "process", "require", "module", "exports"];
new Function(...names, fs.readFileSync(path.join(folder, "engine_bundle.js"), "utf8"))(worker, Object, FileRequest);
worker.onmessage({data: port});
setTimeout(() => {
  port.onmessage({data: new Uint8Array(fs.readFileSync(input))});
  fs.writeFileSync(output, Buffer.concat(replies));
}, 0);
