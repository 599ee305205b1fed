# The certificates of S2 by one command; see gen_certs.sh.
node "$PSScriptRoot/gen-certs.mjs" @args
exit $LASTEXITCODE
