#!/bin/sh
# Builds the image of the version that is checked out, for amd64 and arm64, and pushes it with the tags of that version:
#   cluster/release.sh ghcr.io/example/sealpost            checks everything and prints the build; changes nothing
#   cluster/release.sh --local ghcr.io/example/sealpost    builds it for this machine, with the engine that is here
#   cluster/release.sh --push ghcr.io/example/sealpost     builds both and pushes them; needs docker with buildx
# docs/build/releasing.md has the steps around it. PLATFORMS and NODE_IMAGE may be set in the environment.
set -eu

fail() {
  echo "release: $*" >&2
  exit 1
}
mode=plan
case ${1:-} in
  --push | --local)
    mode=${1#--}
    shift
    ;;
esac
[ $# = 1 ] || fail "name the repository of the image, such as ghcr.io/example/sealpost"
case $1 in -* | *[!a-z0-9._/:-]* | '') fail "$1 is not the name of a repository" ;; esac
case ${1##*/} in *:*) fail "$1 has a tag already: the tags follow from the version" ;; esac
repository=$1
cd "$(dirname "$0")/.."

version=$(sed -n 's/^  "version": "\([^"]*\)",$/\1/p' package.json)
case $version in
  '' | *[!0-9a-z.-]*) fail "package.json has no version that a tag can be made of" ;;
esac
grep -q "^## \[$version\] - 20" CHANGELOG.md || fail "CHANGELOG.md has no section for $version with its date"
grep -q "\"bom-ref\": \"sealpost@$version\"" sbom.cdx.json || fail "sbom.cdx.json is of another version: npm run sbom"
commit=$(git rev-parse HEAD)
problems=
[ -z "$(git status --porcelain)" ] || problems="the working tree has changes that are in no commit"
[ "$(git describe --exact-match --match "v$version" HEAD 2>/dev/null)" = "v$version" ] ||
  problems="${problems:+$problems; }the commit does not have the tag v$version"
[ -z "$problems" ] || [ "$mode" != push ] || fail "$problems"

# The base image of compose.yaml, by digest: the same for all who build this commit.
base=${NODE_IMAGE:-$(sed -n 's/.*\${NODE_IMAGE:-\([^}]*\)}.*/\1/p' compose.yaml)}
platforms=${PLATFORMS:-linux/amd64,linux/arm64}
# The time of the commit, so that a build again is the same image.
created=$(TZ=UTC0 git show -s --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ HEAD)

set -- --file cluster/Dockerfile --build-arg "NODE_IMAGE=$base" \
  --label org.opencontainers.image.title=sealpost \
  --label "org.opencontainers.image.version=$version" \
  --label "org.opencontainers.image.revision=$commit" \
  --label "org.opencontainers.image.created=$created" \
  --label org.opencontainers.image.licenses=Apache-2.0 \
  --tag "$repository:$version"
# One before another of the same version has no shorter names.
case $version in
  *-*) ;;
  *) set -- "$@" --tag "$repository:${version%.*}" --tag "$repository:latest" ;;
esac

case $mode in
  local) docker build "$@" . ;;
  *)
    set -- docker buildx build --platform "$platforms" --provenance=true --sbom=true "$@" --push .
    if [ "$mode" = push ]; then
      docker buildx version >/dev/null 2>&1 || fail "docker has no buildx here"
      SOURCE_DATE_EPOCH=$(git show -s --format=%ct HEAD) "$@"
    else
      [ -z "$problems" ] || echo "release: --push would refuse: $problems"
      echo "$@"
    fi
    ;;
esac
