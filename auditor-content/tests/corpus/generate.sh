#!/bin/sh
# Writes the labelled cases of gitleaks' own rules to the file named by the first argument: one
# JSON object a line. Needs go; the module and what it needs come from the module proxy. Secrets
# are drawn anew by the module on each run.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=$(realpath -m "$1")
module=github.com/zricethezav/gitleaks/v8
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
dir=$(cd "$work" && go mod download -json "$module@v8.30.1" | sed -n 's/.*"Dir": "\(.*\)",\{0,1\}/\1/p')
cp -r "$dir/." "$work/module"
chmod -R u+w "$work/module"
cp "$here/validate.go" "$work/module/cmd/generate/config/utils/validate.go"
rm -f "$out"
cd "$work/module/cmd/generate/config"
CORPUS="$out" go run . "$work/gitleaks.toml"
