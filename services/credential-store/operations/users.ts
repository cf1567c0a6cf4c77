import { type AppPassword, directoryKey, MOST_APP_PASSWORDS, type UserRecord } from '#shared/directory/records.ts';
import { userKey } from '#shared/directory/values.ts';
import { SealpostError } from '#shared/errors.ts';
import { changedList, changeEntry, changeRecord, expected, missing, receivePassword } from '../directory/change.ts';
import type { Operation, OperationDeps } from './deps.ts';

/** Operations on users and their app passwords. */

type UserChange = Parameters<Operation<'user-create'>>[1];

export const userCreate: Operation<'user-create'> = (deps, request) => changeUser(deps, request, true);
export const userChange: Operation<'user-change'> = (deps, request) => changeUser(deps, request, false);

async function changeUser(deps: OperationDeps, request: UserChange, create: boolean) {
  const { name, addresses, onBehalfOf } = request;
  const password = request.password && (await receivePassword(deps, request.password, { user: name }));
  return changeEntry(deps, { kind: 'user', name }, (current): UserRecord => {
    const user = expected(current, { kind: 'user', name }, create);
    if (create && deps.directory.get(directoryKey('group', name)) !== undefined) {
      throw new SealpostError('exists', `a group has the name ${name}: members of groups would be ambiguous`);
    }
    return {
      kind: 'user',
      name: user?.name ?? name,
      addresses: changedList(user?.addresses ?? [], addresses),
      onBehalfOf: changedList(user?.onBehalfOf ?? [], onBehalfOf),
      ...(password !== undefined ? { password } : user?.password !== undefined && { password: user.password }),
      appPasswords: user?.appPasswords ?? [],
    };
  });
}

export const appPasswordCreate: Operation<'app-password-create'> = async (deps, request) => {
  const { user, name, tag, networks } = request;
  const password = await receivePassword(deps, request.password, { user, tag });
  return changeEntry(deps, { kind: 'user', name: user }, (current): UserRecord => {
    if (current === undefined) throw missing('user', user);
    const { appPasswords } = current;
    if (appPasswords.some((one) => userKey(one.name) === userKey(name))) {
      throw new SealpostError(
        'exists',
        `user ${user} has an app password ${name} already: revoke it, or choose a name`,
      );
    }
    if (appPasswords.some((one) => one.tag === tag)) {
      throw new SealpostError('exists', `user ${user} has an app password that begins like this one: try again`);
    }
    if (appPasswords.length === MOST_APP_PASSWORDS) {
      const text = `user ${user} has ${MOST_APP_PASSWORDS} app passwords, no more are possible: revoke those that are not used`;
      throw new SealpostError('invalid', text);
    }
    const made: AppPassword = { tag, name, password, networks, created: Date.now() };
    return { ...current, appPasswords: [...appPasswords, made] };
  });
};

export const appPasswordRevoke: Operation<'app-password-revoke'> = (deps, { user, name }) =>
  changeEntry(deps, { kind: 'user', name: user }, (current): UserRecord => {
    if (current === undefined) throw missing('user', user);
    const left = current.appPasswords.filter((one) => userKey(one.name) !== userKey(name));
    if (left.length === current.appPasswords.length) {
      throw new SealpostError('not-found', `user ${user} has no app password ${name}`);
    }
    return { ...current, appPasswords: left };
  });

/** Many processes may say so on one day: only the first one writes. */
export const appPasswordUsed: Operation<'app-password-used'> = async (deps, { user, tag, day }) => {
  await changeRecord(deps, { kind: 'user', name: user }, (current) => {
    const used = current?.appPasswords.find((one) => one.tag === tag);
    if (current === undefined || used === undefined || (used.lastUsed ?? '') >= day) return current;
    const appPasswords = current.appPasswords.map((one) => (one === used ? { ...one, lastUsed: day } : one));
    return { ...current, appPasswords };
  });
  return {};
};
