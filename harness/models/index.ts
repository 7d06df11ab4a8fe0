/** The models there are, by the name that `--model` and worker threads know them by. */
import type { Model } from "./contract.ts";
import { counterModel } from "./counter.ts";
import { stringKvModel } from "./kv.ts";
import { listModel } from "./list.ts";
import { multiRegisterModel } from "./multi-register.ts";
import { mutexModel } from "./mutex.ts";
import { queueModel } from "./queue.ts";
import { searchedRegister } from "./searched-register.ts";
import { setModel } from "./set.ts";
import { stackModel } from "./stack.ts";

export const models: Readonly<Record<string, Model<unknown>>> = {
  register: searchedRegister as Model<unknown>,
  list: listModel as Model<unknown>,
  "kv-strings": stringKvModel as Model<unknown>,
  counter: counterModel as Model<unknown>,
  set: setModel as Model<unknown>,
  queue: queueModel as Model<unknown>,
  stack: stackModel as Model<unknown>,
  mutex: mutexModel as Model<unknown>,
  "multi-register": multiRegisterModel as Model<unknown>,
};

/** @throws RangeError naming the models there are. */
export function findModel(name: string): Model<unknown> {
  const model = Object.hasOwn(models, name) ? models[name] : undefined;
  if (!model)
    throw new RangeError(`there is no model "${name}"; there are: ${Object.keys(models).join(", ")}`);
  return model;
}
