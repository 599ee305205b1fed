import type { Consumer, Message } from "@trivet/client";

/** The next so many messages; fewer where the consumer ends. */
export async function take<T>(consumer: Consumer<T>, count: number): Promise<Message<T>[]> {
  const messages: Message<T>[] = [];
  while (messages.length < count) {
    const next = await consumer.next();
    if (next.done === true) break;
    messages.push(next.value);
  }
  return messages;
}
