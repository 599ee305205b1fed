export type { DefineOutcome, QueueDirectory, RemoveOutcome } from "./queue-directory.ts";
export { QueueService, type QueueServiceParts } from "./queue-service.ts";
export { definitionWith, settingsProblem } from "./queue-settings.ts";
export type * from "./queues-api.ts";
export { partitionOf } from "@trivet/wire";
export { formatMessageId, formatReceipt, parseMessageId, parseReceipt, type MessageName, type ReceiptParts } from "./receipts.ts";
