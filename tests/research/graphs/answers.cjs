// Answers the rows of a file of float32 values by a graph: node answers.cjs <graph> <rows> <width>
const fs = require("fs");
const ort = require("onnxruntime-node");

async function main(graph, rows, width) {
  const bytes = fs.readFileSync(rows);
  const values = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  const input = new ort.Tensor("float32", values, [values.length / width, width]);
  const session = await ort.InferenceSession.create(graph);
  const found = await session.run({ input });
  const told = Object.entries(found).map(([name, one]) => [name, { shape: one.dims, values: Array.from(one.data, Number) }]);
  process.stdout.write(JSON.stringify(Object.fromEntries(told)));
}

main(process.argv[2], process.argv[3], Number(process.argv[4]));
