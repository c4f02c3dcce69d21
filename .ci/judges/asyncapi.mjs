// asyncapi.mjs FILE: AsyncAPI's own parser reads FILE; every diagnostic of it fails.
import { readFile } from "node:fs/promises";
import parser from "@asyncapi/parser";

const [file] = process.argv.slice(2);
const { document, diagnostics } = await new parser.Parser().parse(await readFile(file, "utf8"), { source: file });
for (const { range, code, message } of diagnostics) console.error(`${file}:${range.start.line + 1}: ${code}: ${message}`);
process.exitCode = document && !diagnostics.length ? 0 : 1;
