// What the native parts are compiled with. Plain JavaScript without dependencies: it runs before there are any.
import { accessSync, constants } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';

/** Any one of the programs will do; the variable names another one. */
const TOOLS = [
  { what: 'a C++ compiler', programs: ['g++', 'c++', 'clang++'], variable: 'CXX', debian: 'g++' },
  { what: 'make', programs: ['make', 'gmake'], variable: 'MAKE', debian: 'make' },
  { what: 'Python 3', programs: ['python3', 'python'], variable: 'PYTHON', debian: 'python3' },
];

function isProgram(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function found({ programs, variable }, env) {
  // CXX may hold options or a wrapper: its first word is the program.
  const named = (env[variable] ?? '').trim().split(/\s+/)[0];
  const wanted = named === '' ? programs : [named];
  return wanted.some((name) =>
    isAbsolute(name) ? isProgram(name) : (env.PATH ?? '').split(delimiter).some((folder) => folder !== '' && isProgram(join(folder, name))),
  );
}

/** '' when all are there, else what is missing and how to get it, in lines. */
export function missingTools(env) {
  const missing = TOOLS.filter((tool) => !found(tool, env));
  if (missing.length === 0) return '';
  return `keelson: the native parts cannot be compiled here
  found:    no ${missing.map(({ what, programs }) => `${what} (${programs.join(', ')})`).join(', no ')}
  expected: ${TOOLS.map(({ what }) => what).join(', ')}
  do:       apt-get install ${missing.map(({ debian }) => debian).join(' ')}    (Debian, Ubuntu; elsewhere the packages of these names)
`;
}

/** Said when compiling has failed and Node's headers are not beside it: node-gyp has to fetch them then. */
export function missingHeaders(node, prefix) {
  if (prefix !== '') return '';
  return `  The headers of Node are not installed beside ${node} (include/node/node.h), so node-gyp fetches them from nodejs.org.
  do:       where that cannot be reached: apt-get install libnode-dev (Debian's Node), or use an archive from nodejs.org, which has them
`;
}
