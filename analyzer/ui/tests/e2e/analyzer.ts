// Asking the analyzer beside the page, to know what the page must show.

/** The data of an answer; throws where there is none. */
export async function data<T>(url: string, path: string): Promise<T> {
  const response = await fetch(url + path);
  const envelope = (await response.json()) as { success: boolean; data: T; error: string | null };
  if (!envelope.success) throw new Error(`${path}: ${envelope.error}`);
  return envelope.data;
}
