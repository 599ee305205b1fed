/** Nominal types over primitives. A brand is put on in one parse or constructor function per type, nowhere else. */
declare const brandKey: unique symbol;
export type Brand<T, Name extends string> = T & { readonly [brandKey]: Name };

export type NodeId = Brand<string, "NodeId">;
export type GroupId = Brand<number, "GroupId">;
/** Election term; 0 = none yet. */
export type Term = Brand<number, "Term">;
/** 1-based position in a group's log; 0 = before the first entry. */
export type LogIndex = Brand<number, "LogIndex">;

export const nodeId = (value: string): NodeId => value as NodeId;
export const groupId = (value: number): GroupId => value as GroupId;
export const term = (value: number): Term => value as Term;
export const logIndex = (value: number): LogIndex => value as LogIndex;
