/** The parts of the nodes' answers about queues that the CLI shows. Field names are those of the API (packages/contract). */
export interface QueueSummaryAnswer {
  readonly name: string;
  readonly id: string;
  readonly version: number;
  readonly created_at: number;
  readonly settings: Readonly<Record<string, number | boolean>>;
}

export interface QueueListAnswer {
  readonly queues: readonly QueueSummaryAnswer[];
  readonly next_cursor: string | null;
}

interface CountsAnswer {
  readonly messages: number;
  readonly bytes: number;
  readonly delayed: number;
  readonly dead: number;
  readonly produced: number;
  readonly oldest_at: number | null;
}
export interface GroupAnswer {
  readonly group: string;
  readonly ready: number;
  readonly leased: number;
  readonly settled: number;
  readonly dead: number;
  readonly expired: number;
  readonly purged: number;
}

export interface QueueStateAnswer extends QueueSummaryAnswer {
  readonly backend: string;
  readonly durability: string;
  readonly totals: CountsAnswer;
  readonly groups: readonly GroupAnswer[];
  readonly partitions: readonly (CountsAnswer & { readonly partition: number; readonly leader: string | null })[];
}

export interface ProducedAnswer {
  readonly queue: string;
  readonly ack: string;
  readonly messages: readonly {
    readonly id: string;
    readonly partition: number;
    readonly sequence: string;
    readonly duplicate: boolean;
  }[];
}

interface MessageAnswer {
  readonly id: string;
  readonly partition: number;
  readonly sequence: string;
  readonly body: unknown;
  readonly body_base64?: string;
  readonly key: string | null;
  readonly priority: number;
  readonly produced_at: number;
}
export interface ConsumedAnswer {
  readonly messages: readonly (MessageAnswer & { readonly receipt: string; readonly acquired: number; readonly deliveries: number })[];
  readonly lease_ms: number;
}

export interface SettledAnswer {
  readonly settled: number;
  readonly results: readonly { readonly receipt: string; readonly outcome: string }[];
}

export interface BrowsedAnswer {
  readonly messages: readonly BrowsedMessageAnswer[];
  readonly next_cursor: string | null;
}
export interface BrowsedMessageAnswer extends MessageAnswer {
  readonly state: string;
  readonly due_at: number | null;
  readonly dead: {
    readonly group: string;
    readonly reason: string;
    readonly acquired: number;
    readonly deliveries: number;
    readonly died_at: number;
  } | null;
}
