// A client in JavaScript: it reads the house's .proto files, asks a server, and prints what it was told as JSON.
// node node_client.js ADDRESS FOLDER_OF_PROTOS

"use strict";

const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const [address, folder] = process.argv.slice(2);
const definition = loader.loadSync("grpc_service.proto", { includeDirs: [folder], keepCase: true, longs: Number, defaults: true });
const { GRPCInferenceService } = grpc.loadPackageDefinition(definition).inference;
const client = new GRPCInferenceService(address, grpc.credentials.createInsecure());

const ask = (method, message) =>
  new Promise((resolve) =>
    client[method](message, (error, answer) => resolve(error ? { code: error.code, details: error.details } : answer)),
  );

const floats = (buffers) => buffers.map((buffer) => Array.from(new Float32Array(new Uint8Array(buffer).buffer)));
const inference = (name, row, id) => ({
  model_name: name,
  id,
  inputs: [{ name: "X", datatype: "FP32", shape: [1, row.length] }],
  raw_input_contents: [Buffer.from(new Float32Array(row).buffer)],
});
const told = (response) => ({ id: response.id, shape: response.outputs[0].shape, rows: floats(response.raw_output_contents) });

const stream = (messages) =>
  new Promise((resolve, reject) => {
    const answers = [];
    const call = client.ModelStreamInfer();
    call.on("data", (answer) => answers.push(answer.error_message || told(answer.infer_response)));
    call.on("error", reject);
    call.on("end", () => resolve(answers));
    messages.forEach((message) => call.write(message));
    call.end();
  });

async function main() {
  const typed = inference("fp32", [1, 2, 3], "typed");
  typed.raw_input_contents = [];
  typed.inputs[0].contents = { fp32_contents: [1, 2, 3] };
  const found = {
    live: await ask("ServerLive", {}),
    ready: await ask("ModelReady", { name: "fp32" }),
    metadata: await ask("ModelMetadata", { name: "fp32" }),
    config: await ask("ModelConfig", { name: "fp32" }),
    raw: told(await ask("ModelInfer", inference("fp32", [4, 5, 6], "raw"))),
    typed: told(await ask("ModelInfer", typed)),
    unknown: await ask("ModelInfer", inference("absent", [4, 5, 6], "")),
    streamed: await stream([inference("fp32", [1, 1, 1], "a"), inference("fp32", [2, 2, 2], "b")]),
  };
  client.close();
  console.log(JSON.stringify(found));
}

main();
