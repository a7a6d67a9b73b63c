/**
 * Loaded into every process that run.ts starts (`node --import`): if run.ts is gone, however it ended, they are
 * needed no more. This is what makes an example leave nothing behind; the examples themselves know nothing of it.
 */
process.once('disconnect', () => process.exit(1));
// The channel to the parent is no reason to stay: a process that has nothing else to do ends.
process.channel?.unref();
