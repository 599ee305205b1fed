/** Shells that completion is printed for. */
export const shells = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof shells)[number];

/**
 * Each script asks `trivet __complete -- WORDS`, so what is offered is always what the installed command knows. The answer's first line says what the shell has to add:
 * `none`, `files`, or `command N` = from word N on it is a command line of its own. Each line after it is a word, a tab, and what it is.
 */
export const scripts: Readonly<Record<Shell, string>> = {
  bash: `# trivet completion for bash 4.4 or later. In ~/.bashrc: source <(trivet completion bash)
_trivet() {
  local line=\${COMP_LINE:0:COMP_POINT} words answer current before breaks= word offset at dashes=0
  # Not COMP_WORDS: bash divides words at : and =, which names of locks and addresses have.
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=("")
  current=\${words[-1]}
  # What stands before the last of these stays where it is.
  [[ $COMP_WORDBREAKS == *:* ]] && breaks+=:
  [[ $COMP_WORDBREAKS == *=* ]] && breaks+==
  [[ -n $breaks ]] && before=\${current%"\${current##*[$breaks]}"}
  COMPREPLY=()
  mapfile -t answer < <("\${words[0]}" __complete -- "\${words[@]:1}" 2>/dev/null)
  case \${answer[0]} in
    files)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "\${current##*=}") ;;
    command\\ *)
      offset=\${answer[0]#command }
      if declare -F _command_offset >/dev/null; then
        for word in "\${words[@]:0:offset+1}"; do [[ $word == -- ]] && ((dashes += 1)); done
        for at in "\${!COMP_WORDS[@]}"; do [[ \${COMP_WORDS[at]} == -- ]] && ((--dashes == 0)) && break; done
        _command_offset $((at + 1))
      elif ((\${#words[@]} == offset + 2)); then
        mapfile -t COMPREPLY < <(compgen -c -- "$current")
      else
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
      fi ;;
    *)
      for word in "\${answer[@]:1}"; do
        word=\${word%%$'\\t'*}
        [[ $word == "$current"* ]] && COMPREPLY+=("$(printf %q "\${word#"$before"}")")
      done ;;
  esac
}
complete -F _trivet trivet
`,
  zsh: `#compdef trivet
# trivet completion for zsh. In ~/.zshrc, after compinit: source <(trivet completion zsh)
_trivet() {
  local -a answer found
  local line offset
  answer=("\${(@f)$("\${words[1]}" __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  case $answer[1] in
    files) _files ;;
    command\\ *)
      offset=\${answer[1]#command }
      shift $((offset + 1)) words
      ((CURRENT -= offset + 1))
      _normal ;;
    *)
      for line in "\${(@)answer[2,-1]}"; do
        [[ -n $line ]] && found+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
      done
      _describe trivet found ;;
  esac
}
# From a folder of fpath it is called at once, else it is made known.
if [[ $funcstack[1] == _trivet ]]; then _trivet "$@"; else compdef _trivet trivet; fi
`,
  fish: `# trivet completion for fish. trivet completion fish > ~/.config/fish/completions/trivet.fish
function __trivet_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l answer ($words[1] __complete -- $words[2..-1] 2>/dev/null)
    switch "$answer[1]"
        case files
            __fish_complete_path (commandline -ct)
        case 'command *'
            set -l offset (string replace 'command ' '' -- $answer[1])
            # An empty word is one that begins.
            complete -C (string escape -- $words[(math $offset + 2)..-1] | string join ' ' | string replace -r '\\'\\'$' '')
        case '*'
            set -q answer[2]; and printf '%s\\n' $answer[2..-1]
    end
end
complete -c trivet -f -a '(__trivet_complete)'
`,
};
