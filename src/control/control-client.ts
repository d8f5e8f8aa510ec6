import { type IncomingMessage, request } from 'node:http';
import { createInterface } from 'node:readline';
import { type ErrorRecord, KeelsonError } from '../base/errors.js';
import { CONTROL, type ControlLine } from './control-api.js';
import type { Drained, OnProgress, ReplaceOptions } from './control-target.js';
import type { ArrayStatus, RebuildPlan, RebuildStatus } from './status.js';

/** Asks a running server, over its control socket. Every method throws KeelsonError: the server's own, or CONTROL_*. */
export class ControlClient {
  readonly #socket: string;

  constructor(socket: string) {
    this.#socket = socket;
  }

  status(): Promise<ArrayStatus> {
    return this.#ask('GET', CONTROL.status) as Promise<ArrayStatus>;
  }

  /** Resolves when the server has agreed to stop; it goes on flushing after that. */
  async stop(): Promise<void> {
    await this.#ask('POST', CONTROL.stop, {});
  }

  async flush(): Promise<void> {
    await this.#ask('POST', CONTROL.flush, {});
  }

  async fail(member: string, force: boolean): Promise<void> {
    await this.#ask('POST', CONTROL.fail, { member, force });
  }

  plan(): Promise<RebuildPlan> {
    return this.#ask('GET', CONTROL.plan) as Promise<RebuildPlan>;
  }

  drain(wait: boolean, onProgress: OnProgress): Promise<Drained> {
    return this.#follow(CONTROL.drain, { wait }, onProgress) as Promise<Drained>;
  }

  replace(member: string, device: string, options: ReplaceOptions, onProgress: OnProgress): Promise<RebuildStatus> {
    return this.#follow(CONTROL.replace, { member, device, ...options }, onProgress) as Promise<RebuildStatus>;
  }

  rebuild(onProgress: OnProgress): Promise<RebuildStatus | null> {
    return this.#follow(CONTROL.rebuild, {}, onProgress) as Promise<RebuildStatus | null>;
  }

  async #ask(method: string, path: string, body?: object): Promise<unknown> {
    const response = await this.#send(method, path, body);
    let text = '';
    try {
      response.setEncoding('utf8');
      for await (const piece of response) text += piece;
    } catch (error) {
      throw this.#gone(error);
    }
    return this.#value(response, text);
  }

  async #follow(path: string, body: object, onProgress: OnProgress): Promise<unknown> {
    const response = await this.#send('POST', path, body);
    try {
      for await (const text of createInterface({ input: response })) {
        if (response.statusCode !== 200) return this.#value(response, text);
        const line = JSON.parse(text) as ControlLine;
        if (line.type === 'result') return line.result;
        if (line.type === 'error') throw KeelsonError.fromRecord(line.error);
        onProgress(line.progress);
      }
    } catch (error) {
      throw this.#gone(error);
    }
    throw this.#gone(undefined);
  }

  #value(response: IncomingMessage, text: string): unknown {
    const value: unknown = JSON.parse(text);
    if (response.statusCode === 200) return value;
    throw KeelsonError.fromRecord(value as ErrorRecord);
  }

  #send(method: string, path: string, body?: object): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const headers = body === undefined ? {} : { 'content-type': 'application/json' };
      const call = request({ socketPath: this.#socket, path, method, headers, agent: false }, resolve);
      call.once('error', (error: NodeJS.ErrnoException) => reject(this.#unreachable(error)));
      call.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  #unreachable(error: NodeJS.ErrnoException): KeelsonError {
    if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') {
      return new KeelsonError('CONTROL_NOT_RUNNING', 'the server of this array is not running', {
        found: error.code === 'ENOENT' ? `no control socket at ${this.#socket}` : `nobody answers on ${this.#socket}`,
        expected: 'a running `keelson serve` with the same configuration',
        action: 'start it: keelson serve -c FILE',
        cause: error,
      });
    }
    if (error.code === 'EACCES' || error.code === 'EPERM') {
      return new KeelsonError('CONTROL_DENIED', `this user may not use the control socket ${this.#socket}`, {
        expected: 'the user that runs the server, or root',
        action: 'run the command as that user',
        cause: error,
      });
    }
    return this.#gone(error);
  }

  #gone(error: unknown): KeelsonError {
    if (error instanceof KeelsonError) return error;
    return new KeelsonError('CONTROL_LOST', 'the server ended before it answered', {
      found: error instanceof Error ? error.message : 'the connection was closed',
      action: 'look at its log; work that was begun is resumed at its next start',
      cause: error,
    });
  }
}
