# bash completion of soractl                                      -*- shell-script -*-
# SPDX-License-Identifier: LGPL-2.1-or-later

_soractl_ids ()
{
    # First column of a listing, without its head.
    soractl "$1" --quiet 2>/dev/null | awk 'NR > 1 { print $1 }'
}

_soractl ()
{
    local cur prev words cword
    _init_completion -n = || return

    local verbs="generate run jobs show cancel wait result delete pause resume priority keep preview plugins pipelines models cache inspect check stage bench"
    local verb= bus= i
    for ((i = 1; i < cword; i++)); do
        case ${words[i]} in
            --session | --system) bus=${words[i]} ;;
            -*) ;;
            *) verb=${words[i]}; break ;;
        esac
    done
    if [[ -z $verb ]]; then
        COMPREPLY=($(compgen -W "$verbs --session --system --version --help" -- "$cur"))
        return
    fi

    case $prev in
        --pipeline) COMPREPLY=($(compgen -W "$(_soractl_ids pipelines)" -- "$cur")); return ;;
        --model | -m) COMPREPLY=($(compgen -W "$(_soractl_ids models)" -- "$cur")); compopt -o default; return ;;
        --sampler) COMPREPLY=($(compgen -W "auto unipc euler dpmpp-2m dmd distill" -- "$cur")); return ;;
        --metadata) COMPREPLY=($(compgen -W "full minimal none" -- "$cur")); return ;;
        --state) COMPREPLY=($(compgen -W "queued running awaiting-approval done failed cancelled revoked" -- "$cur")); return ;;
        --precision) COMPREPLY=($(compgen -W "exact fast" -- "$cur")); return ;;
        --output | -o | --input | -i) compopt -o default; return ;;
        --seed | -s | --threads | --memory | --repeat | --blocks | --param | -p | --name) return ;;
    esac

    local common="--quiet --help"
    case $verb in cancel | delete | pause | resume | priority | keep | inspect | preview) ;; *) common+=" --json" ;; esac
    case $verb in generate | run | stage | wait) common+=" --verbose" ;; esac
    local request="--pipeline --model --stage --param --seed --turbo --no-cache --metadata --threads --memory
        --steps --guidance-scale --width --height --frames --fps --negative-prompt --sampler --timesteps --no-mark"
    if [[ $cur == -* ]]; then
        case $verb in
            generate | run) common+=" $request --output --overwrite --local --detach" ;;
            check) common+=" $request" ;;
            bench)
                common+=" --request --repeat --threads --model --precision"
                if [[ " ${words[*]} " == *" --request "* ]]; then
                    common+=" $request"
                else
                    common+=" --list --quick --blocks"
                fi ;;
            jobs) common+=" --state" ;;
            result) common+=" --output --name --overwrite" ;;
            preview) common+=" --output --overwrite" ;;
            keep) common+=" --not" ;;
            cache) common+=" --system --param --turbo" ;;
            models) common+=" --digest --name --delete-files --system" ;;
            stage) common+=" --model --input --attr --output --overwrite --param --seed --threads --memory" ;;
        esac
        COMPREPLY=($(compgen -W "$common" -- "$cur"))
        return
    fi

    case $verb in
        models)
            if [[ $prev == models ]]; then
                COMPREPLY=($(compgen -W "list add show verify remove" -- "$cur"))
            elif [[ " ${words[*]} " == *" models add "* ]]; then
                compopt -o default
            else
                COMPREPLY=($(compgen -W "$(_soractl_ids models)" -- "$cur"))
            fi ;;
        cache)
            case $prev in
                clear) COMPREPLY=($(compgen -W "results packed" -- "$cur")) ;;
                pack) COMPREPLY=($(compgen -W "$(_soractl_ids models)" -- "$cur")) ;;
                *) COMPREPLY=($(compgen -W "clear pack" -- "$cur")) ;;
            esac ;;
        run) COMPREPLY=($(compgen -W "$(_soractl_ids pipelines)" -- "$cur")) ;;
        bench) COMPREPLY=($(compgen -W "peaks $(soractl bench --list 2>/dev/null | awk 'NR > 1 { print $1 }')" -- "$cur")) ;;
        show | cancel | wait | result | delete | pause | resume | priority | keep | preview)
            COMPREPLY=($(compgen -W "$(soractl $bus jobs --quiet 2>/dev/null | awk 'NR > 1 { print $1 }')" -- "$cur")) ;;
        inspect)
            COMPREPLY=($(compgen -W "$(_soractl_ids plugins) $(_soractl_ids pipelines) $(_soractl_ids models)" -- "$cur"))
            compopt -o default ;;
        stage)
            if [[ $prev == stage ]]; then
                COMPREPLY=($(compgen -W "run" -- "$cur"))
            elif [[ $prev == run ]]; then
                COMPREPLY=($(compgen -W "$(_soractl_ids plugins)" -- "$cur"))
            fi ;;
    esac
} &&
complete -F _soractl soractl
