/** The door, where keys are wanted: a key opens a session; the key itself is not kept in the browser. */
import { type FormEvent, useEffect, useState } from 'react'

import { Field } from '../parts/field.tsx'
import { ErrorState } from '../parts/notices.tsx'
import { useSession, useSignIn } from '../session.ts'

/** What `/console/login` sends back with. */
const failures: Readonly<Record<string, string>> = {
  unreachable: 'The sign-in service cannot be reached. Try again in a moment; the log of the gateway says why.',
  over: 'This sign-in took too long, or was begun in another browser. Start it again.',
  refused: 'The sign-in service did not let you in. The log of the gateway has its reason.',
  unknown: 'You are signed in there, but this gateway gives your account no rights. Ask its operator.',
  undecided: 'This gateway cannot check your account now. Try again in a moment; its log says why.',
  limited: 'Too many attempts from your address have failed. Wait a minute and try again.',
  'too-long': 'The token of the sign-in service is too long for a cookie. Use an API key.',
}

export function SignIn() {
  const [key, setKey] = useState('')
  const logins = useSession().data?.logins ?? []
  const failure = failures[new URLSearchParams(window.location.search).get('signin') ?? '']
  const entering = useSignIn()
  useEffect(() => {
    document.title = 'Sign in · Corral'
  }, [])
  const submit = (event: FormEvent): void => {
    event.preventDefault()
    entering.mutate(key.trim())
  }
  return (
    <main className="mx-auto flex min-h-screen max-w-md flex-col justify-center gap-4 px-4 py-8">
      <div>
        <h1 className="text-xl font-semibold">Sign in to Corral</h1>
        <p className="text-quiet">
          {logins.length === 0 ? 'With an API key of this gateway.' : 'With your account, or with an API key of this gateway.'} It stays
          valid here for at most twelve hours, and ends at once when it is revoked.
        </p>
      </div>
      {failure === undefined ? null : (
        <p role="alert" className="panel p-4">
          {failure}
        </p>
      )}
      {logins.length === 0 ? null : (
        <div className="panel flex flex-col gap-2 p-4">
          {logins.map(({ url, title }) => (
            <a key={url} className="button button-strong self-start" href={url}>
              Sign in with {title}
            </a>
          ))}
        </div>
      )}
      <form className="panel flex flex-col gap-4 p-4" onSubmit={submit}>
        <Field
          label="API key"
          type="password"
          name="key"
          autoComplete="current-password"
          required
          value={key}
          onChange={({ target }) => setKey(target.value)}
          hint={
            <>
              Begins with <code>corral_</code>. The first one was printed when the gateway first started with keys.
            </>
          }
        />
        <button type="submit" className="button button-strong self-start" disabled={entering.isPending || key.trim() === ''}>
          {entering.isPending ? 'Signing in…' : 'Sign in'}
        </button>
      </form>
      {entering.error === null ? null : <ErrorState error={entering.error} />}
    </main>
  )
}
