// Asking the analyzer. Every answer comes in the envelope {success, data, error}; types come from its OpenAPI document.

/** Why an answer did not come, in words for the reader. */
export class ApiError extends Error {
  /** HTTP status; 0 where the analyzer could not be reached at all. */
  readonly status: number;

  constructor(message: string, status: number) {
    super(message);
    this.name = "ApiError";
    this.status = status;
  }
}

type Envelope = { success?: boolean; data?: unknown; error?: string | null };

/** An answer, with its text so that an unchanged one can be recognised without comparing trees. */
export type Answer = { data: unknown; text: string };

/** GETs a route of the analyzer. Rejects with [`ApiError`], or with an `AbortError` when `signal` fires. */
export async function get(path: string, signal?: AbortSignal): Promise<Answer> {
  let response: Response;
  let text: string;
  try {
    response = await fetch(path, { signal: signal ?? null, headers: { accept: "application/json" } });
    text = await response.text();
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError("The analyzer does not answer. Is it still running?", 0);
  }
  let envelope: Envelope;
  try {
    envelope = JSON.parse(text) as Envelope;
  } catch {
    throw new ApiError(`The analyzer answered ${response.status} with something that is not JSON.`, response.status);
  }
  if (!response.ok || envelope.success === false) {
    throw new ApiError(envelope.error || `The analyzer answered ${response.status}.`, response.status);
  }
  return { data: envelope.data, text };
}
