/**
 * Something that lives long: started once, stopped any number of times, also before the start; every stop
 * waits until it has ended.
 */
export interface Service extends AsyncDisposable {
  start(): Promise<void>;
  stop(): Promise<void>;
}
