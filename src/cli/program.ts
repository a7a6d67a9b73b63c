import { Command, CommanderError, type Option } from 'commander';
import { OpsqueueError } from '../model/errors.ts';
import { VERSION } from '../model/version.ts';
import { clientCommands } from './client-commands.ts';
import { gcCommand } from './gc.ts';
import { columnsOf, type Io } from './io.ts';
import { moveCommand } from './move.ts';
import { ExitError, serveCommand } from './serve.ts';
import { oneLine } from './text.ts';
import { topCommand } from './top/command.ts';
import { viewCommands } from './view-commands.ts';

/** Runs a command line and answers the status to end with: 0, 1 if it failed, 2 if it was used wrongly. */
export async function runProgram(args: readonly string[], io: Io): Promise<number> {
  const program = buildProgram(io);
  try {
    await program.parseAsync(args, { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (error instanceof ExitError) {
      if (error.message !== '') complain(io, oneLine(error.message));
      return error.status;
    }
    if (error instanceof OpsqueueError) {
      complain(io, oneLine(error.message));
      return error.code === 'INCORRECT_USAGE' ? 2 : 1;
    }
    // A defect, or what an options' module throws: without its stack and causes, for they may hold credentials.
    complain(io, `unexpected error: ${oneLine(String(error))}`);
    return 1;
  }
}

/** On stdout if stderr cannot be written: a file on the very disk that is full. */
function complain(io: Io, problem: string): void {
  const line = `opsqueue: ${problem}\n`;
  io.stderr.write(line, (error) => {
    if (error) io.stdout.write(line);
  });
}

function buildProgram(io: Io): Command {
  const serve = serveCommand(io);
  const program = new Command('opsqueue')
    .description('A queue for batches of work: producers submit, consumers work, results come back in order.')
    .usage('[command] [flags]')
    .version(`opsqueue ${VERSION}`, '-V, --version', 'print the version of this program')
    .helpOption('-h, --help', 'print this help; opsqueue COMMAND --help: of a command')
    .addHelpText('after', () => HELP_AFTER);
  program.addCommand(serve, { isDefault: true });
  for (const command of [
    ...clientCommands(io),
    ...viewCommands(io),
    topCommand(io),
    gcCommand(io),
    moveCommand(io),
  ])
    program.addCommand(command);
  program.helpCommand(false).configureHelp({ subcommandTerm });
  for (const command of [program, ...program.commands]) settle(command, io);
  return program;
}

/** `status <id>`: what must be given. That there are flags is said above. */
function subcommandTerm(command: Command): string {
  const needed = command.registeredArguments
    .filter(({ required }) => required)
    .map((each) => ` <${each.name()}>`);
  return `${command.name()}${needed.join('')}`;
}

const HELP_AFTER = `
Without a command opsqueue serves: opsqueue --port 4000 is opsqueue serve --port 4000.

Examples:
  opsqueue                         run a queue on localhost:3999, with opsqueue.db in this folder
  opsqueue serve --help            all its flags
  opsqueue watch 7216308450426880  follow a submission to its end
  opsqueue count --url big:3999    how many submissions are in progress on another machine`;

/** The default, but not the name of the environment variable on every line: it is the same rule for all flags. */
function optionDescription(option: Option): string {
  const { defaultValue, defaultValueDescription } = option;
  if (typeof defaultValue === 'boolean') return option.description;
  const shown = String(defaultValueDescription ?? defaultValue ?? '');
  return shown === '' ? option.description : `${option.description} (default: ${shown})`;
}

/** What all commands have in common: how they end, and how they complain (one line, "opsqueue: ..."). */
function settle(command: Command, io: Io): void {
  command
    .exitOverride()
    .helpOption('-h, --help', 'print this help')
    .configureHelp({
      ...command.configureHelp(),
      helpWidth: Math.min(columnsOf(io.stdout, 110), 110),
      optionDescription,
    })
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      outputError: (text, write) => write(`opsqueue: ${oneLine(text.replace(/^error: /, ''))}\n`),
    });
}
