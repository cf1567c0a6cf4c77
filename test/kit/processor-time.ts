/** Milliseconds of the processor that some work takes, which a busy machine does not change as it does the time of day. */
export function processorMs(work: () => unknown): number {
  const began = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(began);
  return (user + system) / 1000;
}
