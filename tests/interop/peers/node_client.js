// SPDX-FileCopyrightText: 2026 the praxis-remote authors
//
// SPDX-License-Identifier: Apache-2.0

// Calls a policy server with grpc-js, and takes orders as the other peers do.
//
// Bytes go over stdin and stdout as {"base64": text}; {"ramp": n} stands for n bytes
// that count from 0 to 250 and begin again.

"use strict";

const crypto = require("node:crypto");
const readline = require("node:readline");
const grpc = require("@grpc/grpc-js");
const protoLoader = require("@grpc/proto-loader");

let client = null;

function ramp(size) {
  const bytes = Buffer.allocUnsafe(size);
  for (let index = 0; index < size; index += 1) bytes[index] = index % 251;
  return bytes;
}

function fromOrder(value) {
  if (Array.isArray(value)) return value.map(fromOrder);
  if (value === null || typeof value !== "object") return value;
  if ("base64" in value) return Buffer.from(value.base64, "base64");
  if ("ramp" in value) return ramp(value.ramp);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, fromOrder(item)]));
}

function toAnswer(value) {
  if (Buffer.isBuffer(value)) {
    if (value.length <= 1024) return { base64: value.toString("base64") };
    const sha256 = crypto.createHash("sha256").update(value).digest("hex");
    return { sha256, length: value.length };
  }
  if (Array.isArray(value)) return value.map(toAnswer);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toAnswer(item)]));
}

const orders = {
  connect({ include, port, options }) {
    if (client !== null) client.close();
    const definition = protoLoader.loadSync("praxis_remote/policy_service.proto", {
      includeDirs: [include],
      keepCase: true,
      longs: String,
      enums: String,
      oneofs: true,
    });
    const { PolicyService } = grpc.loadPackageDefinition(definition).praxis_remote;
    const credentials = grpc.credentials.createInsecure();
    client = new PolicyService(`127.0.0.1:${port}`, credentials, options);
    return null;
  },

  call({ method, request, metadata, timeout_ms: timeout }) {
    const pairs = new grpc.Metadata();
    for (const [key, value] of metadata || []) pairs.add(key, fromOrder(value));
    const options = timeout === undefined ? {} : { deadline: Date.now() + timeout };
    return new Promise((resolve) => {
      client[method](fromOrder(request), pairs, options, (error, response) => {
        if (error) resolve({ status: grpc.status[error.code], details: error.details });
        else resolve({ returned: toAnswer(response) });
      });
    });
  },

  calls({ all }) {
    return Promise.all(all.map((each) => orders.call(each)));
  },
};

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const order = JSON.parse(line);
    let answer;
    try {
      answer = { answer: await orders[order.do](order) };
    } catch (error) {
      answer = { failed: error.stack };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
  process.exit(0);
}

main();
