/** The connection around a transmission. */
export interface TransmissionHost {
  pauseInput(): void;
  resumeInput(): void;
  /** The peer broke the protocol and loses its connection. */
  fault(reason: string): void;
  /** The last request is answered and no other will be: send what is queued and close. */
  finished(): void;
}
