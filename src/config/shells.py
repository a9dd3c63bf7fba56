"""The scripts by which shells complete the commands: each asks `python -m src.completion` for what may follow."""

PATHS = r"(run|ckpt_path|task\.(input|other)|hydra\..*|.*(path|root|dir))"  # options that files or folders complete
BASH = r"""
_vae_lab() {
    local line="${COMP_LINE:0:COMP_POINT}" python="${COMP_WORDS[0]}" command word known answer
    local IFS=$' \t\n'
    if [[ "$line" =~ [[:space:]]-m[[:space:]]+src\.(train|apply|search)[[:space:]] ]]; then
        command="${BASH_REMATCH[1]}"
        word="${line##*[[:space:]]}"
        answer="$("$python" -m src.completion "$command" "${line#*src.$command}" 2>/dev/null)"
        # bash divides words at = and :, and wants no more than what follows the last of them
        [[ "$COMP_WORDBREAKS" == *=* ]] && known="${word%"${word##*=}"}"
        IFS=$'\n'
        COMPREPLY=()
        for answer in $answer; do
            COMPREPLY+=("${answer#"$known"}")
            [[ "$answer" == *[=./] ]] && compopt -o nospace 2>/dev/null
        done
        # files complete no number and no name, but they do complete words without a =, as after a >
        if [[ ${#COMPREPLY[@]} == 0 && "$word" == *=* && ! "${word%%=*}" =~ ^PATHS$ ]]; then
            compopt +o default +o bashdefault 2>/dev/null
        fi
    elif [[ -n "$_vae_lab_before" ]]; then
        "$_vae_lab_before" "$@"
    fi
}
_vae_lab_before="$(complete -p python 2>/dev/null | sed -n 's/.*-F \([^ ]*\).*/\1/p')"
[[ "$_vae_lab_before" == _vae_lab ]] && _vae_lab_before=""
complete -o bashdefault -o default -F _vae_lab python python3 python3.11 python3.12 python3.13
"""
ZSH = r"""
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
_vae_lab() {
    local -i at=${words[(i)-m]}
    if (( at > CURRENT - 2 )) || [[ "${words[at+1]}" != src.(train|apply|search) ]]; then
        ${_vae_lab_before:-_default} "$@"
        return
    fi
    local python=${~${(Q)words[1]}} command="${words[at+1]#src.}" answer
    local -a before=("${(@Q)words[at+2,CURRENT-1]}") open closed
    # after a blank within a name, the program would take what follows it as a word
    for answer in "${(@f)$([[ "$PREFIX" == *[[:space:]]* ]] ||
            "$python" -m src.completion "$command" "$before $PREFIX" 2>/dev/null)}"; do
        if [[ "$answer" == *[=./] ]]; then
            open+=("$answer")
        elif [[ -n "$answer" ]]; then
            closed+=("$answer")
        fi
    done
    # what completes a word need not begin with it: task=sample completes samp
    compadd -U -Q -S '' -a open
    compadd -U -Q -a closed
    if (( ${#open} + ${#closed} == 0 )) && [[ "$PREFIX" != *=* || "${PREFIX%%=*}" =~ '^PATHS$' ]]; then
        compset -P '*='
        _files
    fi
}
[[ "${_comps[python]}" == _vae_lab ]] || _vae_lab_before="${_comps[python]}"
compdef _vae_lab python python3 python3.11 python3.12 python3.13
"""
FISH = r"""
function _vae_lab_complete
    set -l words (commandline -opc)
    set -l module (string match -rg -- '.* -m src\.(train|apply|search)( .*|$)' "$words")
    and $words[1] -m src.completion $module[1] "$module[2] "(commandline -ct) 2>/dev/null
end
for python in python python3 python3.11 python3.12 python3.13
    set -l is_ours 'string match -qr -- " -m src\.(train|apply|search)( |\$)" (commandline -opc | string join " ")'
    set -l is_path 'string match -qr -- "^PATHS=" (commandline -ct)'
    complete -c $python -n $is_ours -f -a '(_vae_lab_complete)'
    complete -c $python -n "$is_ours; and $is_path" -F
end
"""
SCRIPTS = {
    name: text.strip().replace("PATHS", PATHS) for name, text in {"bash": BASH, "zsh": ZSH, "fish": FISH}.items()
}
